{# Subscription versions with their customer and MRR in the reporting currency at the rate of the
   subscription's first day: exchange rates must not look like expansion or contraction. #}
with
versions as (
    select
        source_relation,
        subscription_id,
        valid_from,
        valid_to,
        customer_id,
        customer_email_hash,
        user_id,
        plan,
        quantity,
        billing_interval,
        mrr,
        upper(currency) as currency,
        lower(status) as status,
        trial_start,
        trial_end,
        canceled_at,
        cancel_reason,
        is_involuntary,
        {{ reporting_date('min(valid_from) over (partition by source_relation, subscription_id)') }}
            as first_day
    from {{ ref('int_subscriptions_unioned') }}
),

final as (
    select
        {{ surrogate_key(['versions.source_relation', 'versions.subscription_id', 'versions.valid_from']) }}
            as subscription_period_id,
        {{ surrogate_key(['versions.source_relation', 'versions.subscription_id']) }} as subscription_id,
        versions.valid_from,
        versions.valid_to,
        coalesce(by_customer.person_id, by_user.person_id, by_email.person_id) as person_id,
        members.account_id,
        versions.plan,
        versions.quantity,
        versions.billing_interval,
        {{ in_reporting_currency('versions.mrr', 'versions.currency') }} as mrr,
        versions.mrr as mrr_original,
        versions.currency as currency_original,
        versions.status,
        versions.mrr > 0 and coalesce(versions.status, 'active') in ('active', 'past_due') as is_paid,
        versions.trial_start,
        versions.trial_end,
        versions.canceled_at,
        versions.cancel_reason,
        versions.is_involuntary,
        versions.source_relation,
        versions.subscription_id as source_record_id
    from versions
    left join {{ ref('int_identity_map') }} as by_customer
        on
            by_customer.identifier_type
            = {{ identifier_type('billing_customer', 'versions.source_relation') }}
            and by_customer.identifier = versions.customer_id
    left join {{ ref('int_identity_map') }} as by_user
        on
            by_user.identifier_type = {{ identifier_type('user_id') }}
            and by_user.identifier = versions.user_id
    left join {{ ref('int_identity_map') }} as by_email
        on
            by_email.identifier_type = {{ identifier_type('email') }}
            and by_email.identifier = versions.customer_email_hash
    left join {{ ref('int_person_accounts') }} as members
        on coalesce(by_customer.person_id, by_user.person_id, by_email.person_id) = members.person_id
    {{ fx_join('versions.first_day', 'versions.currency') }}
)

select
    subscription_period_id,
    subscription_id,
    valid_from,
    valid_to,
    coalesce(account_id, person_id) as customer_id,
    person_id,
    account_id,
    plan,
    quantity,
    billing_interval,
    mrr,
    mrr_original,
    currency_original,
    status,
    is_paid,
    trial_start,
    trial_end,
    canceled_at,
    cancel_reason,
    is_involuntary,
    source_relation,
    source_record_id
from final
