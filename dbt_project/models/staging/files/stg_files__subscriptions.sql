{{ config(enabled=provides('files', 'subscriptions')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, subscription_id, valid_from
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'subscriptions') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('subscriptions', 'final', provided=[
    'subscription_id',
    'valid_from',
    'valid_to',
    'customer_id',
    'customer_email_hash',
    'email_domain',
    'user_id',
    'plan',
    'quantity',
    'billing_interval',
    'mrr',
    'currency',
    'status',
    'trial_start',
    'trial_end',
    'canceled_at',
    'cancel_reason',
    'is_involuntary',
]) }}
