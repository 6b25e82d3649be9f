{#
Contracts are won opportunities with an end. One is renewed by the opportunity that names it, else by its
account's renewal that names none and starts within renewal_match_days of the end. Terms of subscriptions are
counted from the first paid day, for plans that are billed for renewal_min_term_months or more; one is renewed
where the subscription is paid on the day after it.
#}
with opportunities as (
    select * from {{ ref('int_opportunities') }}
    where created_at <= {{ as_of() }}
),

contracts as (
    select
        opportunity_id,
        coalesce(account_id, person_id) as customer_id,
        account_id,
        owner_id,
        amount,
        won_at,
        coalesce(contract_start, {{ reporting_date('won_at') }}) as term_start,
        contract_end as due_on
    from opportunities
    where is_won and won_at <= {{ as_of() }} and contract_end is not null
),

successors as (
    select
        opportunity_id,
        account_id,
        renewed_opportunity_id,
        created_at,
        closed_at,
        is_closed,
        is_won,
        amount,
        close_date,
        coalesce(contract_start, close_date) as starts_on
    from opportunities
    where renewed_opportunity_id is not null or opportunity_type = 'renewal'
),

matches as (
    select
        contracts.opportunity_id,
        successors.opportunity_id as successor_id,
        0 as distance
    from contracts
    inner join successors on contracts.opportunity_id = successors.renewed_opportunity_id
    union all
    select
        opportunity_id,
        successor_id,
        distance
    from (
        select
            contracts.opportunity_id,
            successors.opportunity_id as successor_id,
            abs({{ date_diff_days('contracts.due_on', 'successors.starts_on') }}) as distance,
            row_number() over (
                partition by successors.opportunity_id
                order by
                    abs({{ date_diff_days('contracts.due_on', 'successors.starts_on') }}),
                    contracts.opportunity_id
            ) as place
        from contracts
        inner join successors
            on
                contracts.account_id = successors.account_id
                and successors.renewed_opportunity_id is null
                and contracts.opportunity_id != successors.opportunity_id
                and contracts.won_at <= successors.created_at
    ) as nearest
    where place = 1 and distance <= {{ var('renewal_match_days') }}
),

-- One successor speaks for the contract: a won one before an open one before a lost one, then the nearest.
decided_contracts as (
    select
        opportunity_id,
        successor_id,
        successor_amount,
        successor_close_date,
        is_won,
        is_closed,
        closed_at
    from (
        select
            matches.opportunity_id,
            matches.successor_id,
            successors.amount as successor_amount,
            successors.close_date as successor_close_date,
            coalesce(successors.is_won, false) as is_won,
            coalesce(successors.is_closed, false) as is_closed,
            successors.closed_at,
            row_number() over (
                partition by matches.opportunity_id
                order by
                    case when successors.is_won then 0 when successors.is_closed then 2 else 1 end asc,
                    matches.distance asc,
                    successors.created_at desc,
                    matches.successor_id asc
            ) as place
        from matches
        inner join successors on matches.successor_id = successors.opportunity_id
    ) as ranked
    where place = 1
),

versions as (
    select
        subscription_id,
        customer_id,
        account_id,
        plan,
        billing_interval,
        mrr,
        status,
        canceled_at,
        valid_from,
        {{ reporting_date('valid_from') }} as paid_from,
        coalesce({{ reporting_date('valid_to') }}, cast('9999-12-31' as date)) as paid_until,
        case billing_interval
            when 'year' then 12 when 'half_year' then 6 when 'quarter' then 3 when 'month' then 1
        end as term_months
    from {{ ref('int_subscription_periods') }}
    where is_paid and valid_from <= {{ as_of() }}
),

subscriptions as (
    select
        subscription_id,
        term_months,
        min(paid_from) as first_day,
        least(max(paid_until), {{ as_of_date() }}) as last_day
    from versions
    where term_months >= {{ var('renewal_min_term_months') }}
    group by subscription_id, term_months
),

term_numbers as (
    {{ number_spine(
        1,
        '(select coalesce(max(' ~ date_diff_months('first_day', 'last_day') ~ '), 0) + 1 from subscriptions)'
    ) }}
),

terms as (
    select
        subscriptions.subscription_id,
        subscriptions.term_months,
        term_numbers.n as term_number,
        {{ add_months('subscriptions.first_day', 'subscriptions.term_months * (term_numbers.n - 1)') }}
            as term_start,
        {{ add_months('subscriptions.first_day', 'subscriptions.term_months * term_numbers.n') }} as due_on
    from subscriptions
    inner join term_numbers
        on
            {{ add_months('subscriptions.first_day', 'subscriptions.term_months * (term_numbers.n - 1)') }}
            < subscriptions.last_day
            or term_numbers.n = 1
),

subscription_terms as (
    select
        terms.subscription_id,
        terms.term_number,
        terms.term_start,
        terms.due_on,
        max(versions.customer_id) as customer_id,
        max(versions.account_id) as account_id,
        max_by(versions.plan, versions.valid_from) as plan,
        max_by(versions.mrr, versions.valid_from) * terms.term_months as amount_due,
        max(
            case
                when versions.paid_from <= terms.term_start and versions.paid_until > terms.term_start
                    then 1
                else 0
            end
        ) as is_started,
        max(versions.paid_until) as paid_until,
        max(case when versions.status = 'past_due' then 1 else 0 end) as is_past_due,
        max(versions.canceled_at) as canceled_at
    from terms
    inner join versions
        on terms.subscription_id = versions.subscription_id and versions.paid_from < terms.due_on
    group by terms.subscription_id, terms.term_number, terms.term_start, terms.due_on, terms.term_months
),

followed_terms as (
    select
        terms.subscription_id,
        terms.term_number,
        max(versions.mrr * terms.term_months) as renewed_amount
    from terms
    inner join versions
        on
            terms.subscription_id = versions.subscription_id
            and versions.paid_from <= terms.due_on
            and versions.paid_until > terms.due_on
    where terms.due_on <= {{ as_of_date() }}
    group by terms.subscription_id, terms.term_number
),

last_seen as (
    select
        coalesce(account_id, person_id) as customer_id,
        max({{ reporting_date('last_seen_at') }}) as last_seen_on
    from {{ ref('dim_persons') }}
    group by coalesce(account_id, person_id)
),

opinions as (
    select
        customer_id,
        max_by(opinion, {{ ordered_by(['occurred_at', 'survey_response_id']) }}) as opinion
    from {{ ref('int_survey_responses') }}
    where opinion is not null and customer_id is not null
    group by customer_id
),

unioned as (
    select
        {{ surrogate_key(["'contract'", 'contracts.opportunity_id', 'contracts.due_on']) }} as renewal_id,
        'contract' as renewal_type,
        contracts.customer_id,
        contracts.account_id,
        contracts.owner_id,
        contracts.opportunity_id,
        cast(null as {{ text_type() }}) as subscription_id,
        cast(null as {{ text_type() }}) as plan,
        contracts.term_start,
        contracts.due_on,
        contracts.amount as amount_due,
        contracts.won_at as signed_at,
        decided.successor_id as renewal_opportunity_id,
        case
            when decided.is_won then 'renewed'
            when decided.is_closed then 'lost'
            when {{ add_days('contracts.due_on', var('renewal_grace_days')) }} < {{ as_of_date() }}
                then 'lapsed'
            else 'open'
        end as status,
        case when decided.is_won or decided.is_closed then {{ reporting_date('decided.closed_at') }} end
            as decided_on,
        case when decided.is_won then decided.successor_amount end as renewed_amount,
        decided.successor_id is null as has_no_opportunity,
        coalesce(decided.successor_close_date < {{ as_of_date() }}, false) as is_past_close_date,
        false as is_past_due,
        false as is_canceled
    from contracts
    left join decided_contracts as decided on contracts.opportunity_id = decided.opportunity_id
    union all
    select
        {{ surrogate_key(["'subscription'", 'terms.subscription_id', 'terms.due_on']) }} as renewal_id,
        'subscription' as renewal_type,
        terms.customer_id,
        terms.account_id,
        cast(null as {{ text_type() }}) as owner_id,
        cast(null as {{ text_type() }}) as opportunity_id,
        terms.subscription_id,
        terms.plan,
        terms.term_start,
        terms.due_on,
        terms.amount_due,
        cast(terms.term_start as timestamp) as signed_at,
        cast(null as {{ text_type() }}) as renewal_opportunity_id,
        case
            when followed.subscription_id is not null then 'renewed'
            when terms.paid_until <= {{ as_of_date() }} then 'lost'
            else 'open'
        end as status,
        case
            when followed.subscription_id is not null then terms.due_on
            when terms.paid_until <= {{ as_of_date() }} then terms.paid_until
        end as decided_on,
        followed.renewed_amount,
        false as has_no_opportunity,
        false as is_past_close_date,
        terms.is_past_due = 1 as is_past_due,
        coalesce(terms.canceled_at <= {{ as_of() }}, false) as is_canceled
    from subscription_terms as terms
    left join followed_terms as followed
        on terms.subscription_id = followed.subscription_id and terms.term_number = followed.term_number
    where terms.is_started = 1
),

judged as (
    select
        unioned.*,
        last_seen.last_seen_on,
        unioned.status = 'open'
        and {{ add_days('unioned.due_on', -var('renewal_notice_days')) }} <= {{ as_of_date() }} as is_due,
        -- Reasons in alphabetical order.
        concat_ws(
            '","',
            case when unioned.is_canceled then 'cancellation_requested' end,
            case when opinions.opinion = 'detractor' then 'detractor' end,
            case when unioned.has_no_opportunity then 'no_renewal_opportunity' end,
            case
                when
                    {{ add_days(
                        'coalesce(last_seen.last_seen_on, unioned.term_start)', var('renewal_quiet_days')
                    ) }} < {{ as_of_date() }}
                    then 'not_seen_lately'
            end,
            case when unioned.due_on < {{ as_of_date() }} then 'overdue' end,
            case when unioned.is_past_close_date then 'past_close_date' end,
            case when unioned.is_past_due then 'payment_past_due' end
        ) as reasons
    from unioned
    left join last_seen on unioned.customer_id = last_seen.customer_id
    left join opinions on unioned.customer_id = opinions.customer_id
)

select
    renewal_id,
    renewal_type,
    customer_id,
    account_id,
    owner_id,
    opportunity_id,
    subscription_id,
    plan,
    term_start,
    due_on,
    {{ period_start('month', 'due_on') }} as due_month,
    {{ period_start('fiscal_quarter', 'due_on') }} as due_fiscal_quarter,
    signed_at,
    cast(amount_due as decimal(19, 4)) as amount_due,
    status,
    decided_on,
    renewal_opportunity_id,
    cast(case when status = 'renewed' then renewed_amount end as decimal(19, 4)) as renewed_amount,
    cast(case when status = 'renewed' then renewed_amount - amount_due end as decimal(19, 4))
        as change_in_amount,
    coalesce(status = 'renewed' and decided_on > due_on, false) as is_late,
    is_due,
    {{ date_diff_days(as_of_date(), 'due_on') }} as days_to_due,
    is_due and reasons != '' as is_at_risk,
    case when is_due and reasons != '' then '["' || reasons || '"]' else '[]' end as risk_reasons,
    last_seen_on
from judged
