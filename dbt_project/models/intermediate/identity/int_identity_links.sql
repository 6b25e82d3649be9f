-- The fresh content of int_identity_edges, before the guard against shared identifiers is applied. An
-- identifier's row with itself says when it was first and last seen.
with records as (
    select * from {{ ref('int_identity_records') }}
),

identifiers as (
    {% for kind, column, home in [
        ('cookie', 'anonymous_id', 'cookie_home'),
        ('user_id', 'user_id', none),
        ('email', 'email_hash', none),
        ('crm_contact', 'contact_id', 'contact_home'),
        ('crm_contact', 'other_contact_id', 'contact_home'),
        ('email_subscriber', 'subscriber_id', 'source_relation'),
        ('billing_customer', 'customer_id', 'source_relation'),
    ] -%}
    select
        record_number,
        {{ identifier_type(kind, home) }} as identifier_type,
        {{ column }} as identifier,
        source_relation,
        first_seen_at,
        last_seen_at
    from records
    where {{ column }} is not null
    {%- if not loop.last %}
    union all
    {% endif -%}
    {%- endfor %}
),

final as (
    select
        a.identifier_type as identifier_type_a,
        a.identifier as identifier_a,
        b.identifier_type as identifier_type_b,
        b.identifier as identifier_b,
        min(a.source_relation) as source_relation,
        min(a.first_seen_at) as first_seen_at,
        max(a.last_seen_at) as last_seen_at
    from identifiers as a
    inner join identifiers as b
        on
            a.record_number = b.record_number
            and (
                a.identifier_type < b.identifier_type
                or (a.identifier_type = b.identifier_type and a.identifier <= b.identifier)
            )
    group by a.identifier_type, a.identifier, b.identifier_type, b.identifier
)

select
    identifier_type_a,
    identifier_a,
    identifier_type_b,
    identifier_b,
    source_relation,
    first_seen_at,
    last_seen_at
from final
