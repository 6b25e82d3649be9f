{#
Everything that an entry rule of funnels.csv can look at, as (source, field, value) with its time and its subjects.
Histories (is_history) keep every change; of visits and web events only the first of each value is kept: a stage that an
event opens is entered once. Each CTE before `observed` has the same columns beside its values.
#}
{% set no_text = 'cast(null as ' ~ text_type() ~ ')' %}

with identity_map as (
    select
        identifier_type,
        identifier,
        person_id
    from {{ ref('int_identity_map') }}
),

person_accounts as (
    select
        person_id,
        account_id
    from {{ ref('int_person_accounts') }}
),

web_events as (
    select * from {{ ref('int_web_events_sessionized') }}
    where person_id is not null and not coalesce(is_bot, false) and not coalesce(is_internal, false)
),

opportunities as (
    select * from {{ ref('int_opportunities') }}
),

changes as (
    select * from {{ ref('int_crm_stage_changes') }}
),

revenue as (
    select * from {{ ref('int_revenue_events') }}
    where is_counted
),

contacts as (
    select
        contacts.contact_id,
        contacts.source_record_id,
        coalesce(identity_map.person_id, contacts.contact_id) as person_id,
        contacts.account_id,
        contacts.owner_id,
        row_number() over (
            partition by coalesce(identity_map.person_id, contacts.contact_id)
            order by contacts.created_at, contacts.contact_id
        ) as record_number
    from {{ ref('int_contacts') }} as contacts
    left join identity_map
        on
            identity_map.identifier_type = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
            and contacts.source_record_id = identity_map.identifier
    where contacts.continued_as_contact_id is null
),

product_names as (
    select
        product_id,
        max(product_name) as product_name
    from revenue
    where product_id is not null
    group by product_id
),

visits as (
    select
        channel,
        min(started_at) as occurred_at,
        person_id,
        {{ no_text }} as account_id,
        {{ no_text }} as opportunity_id,
        {{ no_text }} as owner_id,
        {{ no_text }} as product,
        false as is_inferred
    from {{ ref('fct_sessions') }}
    where person_id is not null
    group by channel, person_id
),

events as (
    select
        grouped.event_name,
        grouped.occurred_at,
        grouped.person_id,
        {{ no_text }} as account_id,
        {{ no_text }} as opportunity_id,
        {{ no_text }} as owner_id,
        coalesce(product_names.product_name, grouped.product_id) as product,
        false as is_inferred
    from (
        select
            event_name,
            person_id,
            min(occurred_at) as occurred_at,
            min(product_id) as product_id
        from web_events
        group by event_name, person_id
    ) as grouped
    left join product_names on grouped.product_id = product_names.product_id
),

invitations as (
    select
        referral_code,
        min(person_id) as person_id
    from web_events
    where event_name = 'invite_sent' and referral_code is not null
    group by referral_code
    having count(distinct person_id) = 1
),

referrals as (
    select
        row_number() over (
            partition by invitations.person_id order by web_events.occurred_at, web_events.event_id
        ) as sign_up_number,
        web_events.occurred_at,
        invitations.person_id,
        {{ no_text }} as account_id,
        {{ no_text }} as opportunity_id,
        {{ no_text }} as owner_id,
        {{ no_text }} as product,
        false as is_inferred
    from web_events
    inner join invitations on web_events.referral_code = invitations.referral_code
    where web_events.event_name = 'referral_sign_up'
),

-- With the owner at the time of the change.
stage_changes as (
    select
        changes.object_type,
        changes.object_id,
        changes.field,
        changes.to_value,
        changes.funnel_stage,
        changes.changed_at,
        changes.is_inferred,
        changes.from_value,
        case
            when owners.to_value is not null
                then {{ surrogate_key(['owners.source_relation', 'owners.to_value']) }}
        end as owner_id
    from changes
    left join changes as owners
        on
            changes.object_type = owners.object_type
            and changes.object_id = owners.object_id
            and owners.field = 'owner_id'
            and changes.changed_at >= owners.changed_at
            and (changes.changed_at < owners.changed_until or owners.changed_until is null)
    where changes.field in ('stage', 'lifecycle_stage', 'lead_status')
),

-- Before the first assignment the record's present owner stands in. The value that a person's second record
-- begins with is no move of the person: like an event it opens a stage, but takes nobody back.
contact_changes as (
    select
        stage_changes.field,
        stage_changes.to_value,
        stage_changes.funnel_stage,
        stage_changes.changed_at as occurred_at,
        contacts.person_id,
        contacts.account_id,
        {{ no_text }} as opportunity_id,
        coalesce(stage_changes.owner_id, contacts.owner_id) as owner_id,
        {{ no_text }} as product,
        contacts.record_number = 1 or stage_changes.from_value is not null as is_history,
        stage_changes.is_inferred
    from stage_changes
    inner join contacts on stage_changes.object_id = contacts.contact_id
    where stage_changes.object_type = 'contact'
),

opportunity_changes as (
    select
        stage_changes.to_value,
        stage_changes.funnel_stage,
        stage_changes.changed_at as occurred_at,
        opportunities.person_id,
        opportunities.account_id,
        opportunities.opportunity_id,
        coalesce(stage_changes.owner_id, opportunities.owner_id) as owner_id,
        {{ no_text }} as product,
        stage_changes.is_inferred
    from stage_changes
    inner join opportunities on stage_changes.object_id = opportunities.opportunity_id
    where stage_changes.object_type = 'opportunity'
),

wins as (
    select
        row_number() over (
            partition by coalesce(account_id, person_id, opportunity_id) order by won_at, opportunity_id
        ) as won_number,
        won_at as occurred_at,
        person_id,
        account_id,
        opportunity_id,
        owner_id,
        {{ no_text }} as product,
        false as is_inferred
    from opportunities
    where is_won and won_at is not null
),

-- One payment is one order or invoice, whatever its lines.
payments as (
    select
        numbered.*,
        row_number() over (partition by person_id order by occurred_at, order_id) as payment_number,
        row_number() over (partition by person_id, event_type order by occurred_at, order_id) as order_number
    from (
        select
            event_type,
            order_id,
            min(occurred_at) as occurred_at,
            person_id,
            max(account_id) as account_id,
            {{ no_text }} as opportunity_id,
            {{ no_text }} as owner_id,
            min(product_name) as product,
            false as is_inferred
        from revenue
        where amount_original > 0 and event_type in ('order', 'invoice') and person_id is not null
        group by event_type, order_id, person_id
    ) as numbered
),

subscription_changes as (
    select
        plan,
        case when is_paid then 'true' else 'false' end as is_paid,
        case
            when is_paid and mrr > lag(mrr) over (partition by subscription_id, is_paid order by valid_from)
                then 'expansion'
            when is_paid and mrr < lag(mrr) over (partition by subscription_id, is_paid order by valid_from)
                then 'contraction'
        end as change,
        valid_from as occurred_at,
        person_id,
        account_id,
        {{ no_text }} as opportunity_id,
        {{ no_text }} as owner_id,
        plan as product,
        false as is_inferred
    from {{ ref('int_subscription_periods') }}
    where valid_from <= {{ as_of() }}
),

surveys as (
    select
        responses.survey,
        responses.score,
        responses.occurred_at,
        coalesce(by_email.person_id, by_contact.person_id) as person_id,
        {{ no_text }} as account_id,
        {{ no_text }} as opportunity_id,
        {{ no_text }} as owner_id,
        {{ no_text }} as product,
        false as is_inferred
    from {{ ref('int_survey_responses_unioned') }} as responses
    left join identity_map as by_email
        on
            by_email.identifier_type = {{ identifier_type('email') }}
            and responses.email_hash = by_email.identifier
    left join (
        select
            source_record_id,
            min(person_id) as person_id
        from contacts
        group by source_record_id
        having count(*) = 1
    ) as by_contact
        on responses.contact_id = by_contact.source_record_id
),

{# source, field (SQL), value, relation, condition, is_history #}
{% set branches = [
    ('sessions', "'channel'", 'channel', 'visits', '1 = 1', 'false'),
    ('web_events', "'event_name'", 'event_name', 'events', '1 = 1', 'false'),
    ('referrals', "'sign_up_number'", 'sign_up_number', 'referrals', '1 = 1', 'false'),
    ('crm_contacts', "'funnel_stage'", 'funnel_stage', 'contact_changes', "funnel_stage <> '(ignored)'", 'is_history'),
    ('crm_contacts', 'field', 'to_value', 'contact_changes', '1 = 1', 'is_history'),
    ('crm_opportunities', "'funnel_stage'", 'funnel_stage', 'opportunity_changes', "funnel_stage <> '(ignored)'", 'true'),
    ('crm_opportunities', "'stage'", 'to_value', 'opportunity_changes', '1 = 1', 'true'),
    ('crm_opportunities', "'won_number'", 'won_number', 'wins', '1 = 1', 'false'),
    ('revenue_events', "'payment_number'", 'payment_number', 'payments', '1 = 1', 'false'),
    ('revenue_events', "'order_number'", 'order_number', 'payments', "event_type = 'order'", 'false'),
    ('subscriptions', "'is_paid'", 'is_paid', 'subscription_changes', 'person_id is not null', 'false'),
    ('subscriptions', "'plan'", 'plan', 'subscription_changes', 'person_id is not null', 'false'),
    ('subscriptions', "'change'", 'change', 'subscription_changes', 'person_id is not null and change is not null', 'false'),
    ('survey_responses', 'survey', 'score', 'surveys', 'person_id is not null', 'false'),
] %}

observed as (
    {% for source, field, value, relation, condition, is_history in branches %}
    select
        '{{ source }}' as source,
        {{ field }} as field,
        cast({{ value }} as {{ text_type() }}) as value,
        occurred_at,
        person_id,
        account_id,
        opportunity_id,
        owner_id,
        product,
        {{ is_history }} as is_history,
        is_inferred
    from {{ relation }}
    where {{ condition }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select
    observed.source,
    observed.field,
    observed.value,
    observed.occurred_at,
    observed.person_id,
    coalesce(observed.account_id, person_accounts.account_id) as account_id,
    observed.opportunity_id,
    observed.owner_id,
    observed.product,
    observed.is_history,
    observed.is_inferred
from observed
left join person_accounts on observed.person_id = person_accounts.person_id
where observed.occurred_at <= {{ as_of() }}
