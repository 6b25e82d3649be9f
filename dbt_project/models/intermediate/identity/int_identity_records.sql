-- depends_on: {{ ref('int_changed_identity_records') }}
-- Every record that carries identifiers, once per set of identifiers; what stands in one record was seen
-- together. Where the edges stand already: the records that name a changed identifier.
{%- set is_part = holds_edges() %}
with visitors as (
    select * from {{ ref('int_visitor_identifiers') }}
),

recipients as (
    select * from {{ ref('int_email_recipients') }}
),

register as (
    select * from {{ ref('int_identity_register') }}
),

records as (
    select
        source_relation,
        first_seen_at,
        last_seen_at,
        source_relation as cookie_home,
        anonymous_id,
        user_id,
        email_hash,
        cast(null as {{ text_type() }}) as contact_home,
        cast(null as {{ text_type() }}) as contact_id,
        cast(null as {{ text_type() }}) as other_contact_id,
        cast(null as {{ text_type() }}) as subscriber_id,
        cast(null as {{ text_type() }}) as customer_id
    from visitors
    {%- if is_part %}
    where {{ names_changed_identifier(
        ['anonymous_id', 'user_id', 'email_hash'], cookie_home='source_relation',
    ) }}
    {%- endif %}

    union all

    select
        source_relation,
        first_seen_at,
        last_seen_at,
        cast(null as {{ text_type() }}) as cookie_home,
        cast(null as {{ text_type() }}) as anonymous_id,
        cast(null as {{ text_type() }}) as user_id,
        recipient_email_hash as email_hash,
        cast(null as {{ text_type() }}) as contact_home,
        cast(null as {{ text_type() }}) as contact_id,
        cast(null as {{ text_type() }}) as other_contact_id,
        subscriber_id,
        cast(null as {{ text_type() }}) as customer_id
    from recipients
    {%- if is_part %}
    where {{ names_changed_identifier(
        ['email_hash', 'subscriber_id'], email_hash='recipient_email_hash',
    ) }}
    {%- endif %}

    union all

    select
        source_relation,
        first_seen_at,
        last_seen_at,
        cookie_home,
        anonymous_id,
        user_id,
        email_hash,
        contact_home,
        contact_id,
        other_contact_id,
        subscriber_id,
        customer_id
    from register
    {%- if is_part %}
    where {{ names_changed_identifier() }}
    {%- endif %}
),

final as (
    select
        row_number() over (
            order by
                source_relation, cookie_home, anonymous_id, user_id, email_hash, contact_id, other_contact_id,
                subscriber_id, customer_id, first_seen_at
        ) as record_number,
        *
    from records
)

select
    record_number,
    source_relation,
    first_seen_at,
    last_seen_at,
    cookie_home,
    anonymous_id,
    user_id,
    email_hash,
    contact_home,
    contact_id,
    other_contact_id,
    subscriber_id,
    customer_id
from final
