-- depends_on: {{ ref('int_changed_identity_records') }}
-- Every record that carries identifiers, once per set of identifiers; what stands in one record was seen
-- together. Where the edges stand already: the records that name a changed identifier.
{%- set is_part = holds_edges() %}
{%- set sources = [
    ('visitors', ref('int_visitor_identifiers'), {'anonymous_id': 'cookie', 'user_id': 'user_id', 'email_hash': 'email'}),
    ('recipients', ref('int_email_recipients'), {'recipient_email_hash': 'email', 'subscriber_id': 'email_subscriber'}),
    ('register', ref('int_identity_register'), register_kinds()),
] %}
with
{%- for name, relation, kinds in sources %}
{{ name }} as (
    {% if is_part -%}
    {{ records_with_changed_identifier(relation, kinds) }}
    {%- else -%}
    select * from {{ relation }}
    {%- endif %}
),
{% endfor %}
records as (
    select
        {{ record_of({
            'source_relation': 'source_relation',
            'first_seen_at': 'first_seen_at',
            'last_seen_at': 'last_seen_at',
            'cookie_home': 'source_relation',
            'anonymous_id': 'anonymous_id',
            'user_id': 'user_id',
            'email_hash': 'email_hash',
        }) }}
    from visitors

    union all

    select
        {{ record_of({
            'source_relation': 'source_relation',
            'first_seen_at': 'first_seen_at',
            'last_seen_at': 'last_seen_at',
            'email_hash': 'recipient_email_hash',
            'subscriber_id': 'subscriber_id',
        }) }}
    from recipients

    union all

    select {{ record_columns() | join(', ') }}
    from register
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
    {{ record_columns() | join(', ') }}
from final
