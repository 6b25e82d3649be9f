{#
What belongs here: which columns of a record hold which kind of identifier (int_identity_records), and what follows from it.
#}

{# (kind, column, column with the source_relation that the kind belongs to, if it does) #}
{% macro record_identifiers() %}
    {{ return([
        ('cookie', 'anonymous_id', 'cookie_home'),
        ('user_id', 'user_id', none),
        ('email', 'email_hash', none),
        ('crm_contact', 'contact_id', 'contact_home'),
        ('crm_contact', 'other_contact_id', 'contact_home'),
        ('email_subscriber', 'subscriber_id', 'source_relation'),
        ('billing_customer', 'customer_id', 'source_relation'),
    ]) }}
{% endmacro %}

{# The columns of a record of identifiers. #}
{% macro record_columns() %}
    {{ return([
        'source_relation', 'first_seen_at', 'last_seen_at', 'cookie_home', 'anonymous_id', 'user_id', 'email_hash',
        'contact_home', 'contact_id', 'other_contact_id', 'subscriber_id', 'customer_id',
    ]) }}
{% endmacro %}

{# Their select list: `given` maps columns to SQL; the columns that it lacks are empty. #}
{% macro record_of(given) -%}
    {%- for name in record_columns() %}
        {{ given.get(name, 'cast(null as ' ~ text_type() ~ ')') }} as {{ name }}{% if not loop.last %},{% endif %}
    {%- endfor %}
{%- endmacro %}

{# The same as {column: kind}. #}
{% macro register_kinds() %}
    {% set kinds = {} %}
    {% for kind, column, home in record_identifiers() %}{% do kinds.update({column: kind}) %}{% endfor %}
    {{ return(kinds) }}
{% endmacro %}

{# The identifiers of records, one a row, with further columns of the record. #}
{% macro identifiers_of_records(records, columns=[]) -%}
    {% for kind, column, home in record_identifiers() -%}
    select
        {% for name in columns %}{{ name }},
        {% endfor -%}
        {{ identifier_type(kind, home) }} as identifier_type,
        {{ column }} as identifier
    from {{ records }}
    where {{ column }} is not null
    {%- if not loop.last %}
    union all
    {% endif -%}
    {%- endfor %}
{%- endmacro %}

{#
The records of a relation of which an identifier stands in int_changed_identity_records, by kind and value: a few too many
where several relations use one value. `kinds` maps the relation's columns to their kinds. One select per column,
because an engine cannot hash alternatives.
#}
{% macro records_with_changed_identifier(relation, kinds) -%}
    {% for column, kind in kinds.items() -%}
    select * from {{ relation }}
    where
        {{ column }} in (
            select changed.identifier
            from {{ ref('int_changed_identity_records') }} as changed
            where changed.identifier_type = '{{ kind }}' or changed.identifier_type like '{{ kind }}:%'
        )
    {%- if not loop.last %}
    union
    {% endif -%}
    {%- endfor %}
{%- endmacro %}

{# True for an edge with an end in int_changed_identity_records. #}
{% macro touches_changed_records(edge) -%}
(
        {%- for end in ['a', 'b'] %}
        {%- if not loop.first %} or {% endif -%}
        ({{ edge }}.identifier_type_{{ end }}, {{ edge }}.identifier_{{ end }}) in (
            select changed.identifier_type, changed.identifier
            from {{ ref('int_changed_identity_records') }} as changed
        )
        {%- endfor %}
    )
{%- endmacro %}

{# Whether the run continues from the edges that int_identity_edges holds. A macro, so that unit tests can override it. #}
{% macro holds_edges() %}
    {{ return(held_relation('int_identity_edges') is not none and not should_full_refresh()) }}
{% endmacro %}

{# The edges that int_identity_edges holds with an end in int_changed_identity_records. #}
{% macro held_edges_of_changed_records(held, columns) -%}
    {% for end in ['a', 'b'] -%}
    select {{ columns | join(', ') }}
    from {{ held }}
    where
        (identifier_type_{{ end }}, identifier_{{ end }}) in (
            select changed.identifier_type, changed.identifier
            from {{ ref('int_changed_identity_records') }} as changed
        )
    {%- if not loop.last %}
    union
    {% endif -%}
    {%- endfor %}
{%- endmacro %}
