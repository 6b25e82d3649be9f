with addresses as (
    select
        email_hash,
        email_domain
    from {{ ref('int_visitor_identifiers') }}
    union all
    select
        recipient_email_hash as email_hash,
        email_domain
    from {{ ref('int_email_recipients') }}
    {% for entity, column in [
        ('crm_contacts', 'email_hash'),
        ('revenue_events', 'customer_email_hash'),
        ('subscriptions', 'customer_email_hash'),
        ('offline_touches', 'email_hash'),
        ('survey_responses', 'email_hash'),
    ] -%}
    union all
    select
        {{ column }} as email_hash,
        email_domain
    from {{ ref('int_' ~ entity ~ '_unioned') }}
    {% endfor -%}
),

final as (
    select
        email_hash,
        lower(max(email_domain)) as email_domain
    from addresses
    where email_hash is not null
    group by email_hash
)

select
    email_hash,
    email_domain
from final
