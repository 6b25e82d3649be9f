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
True for a record of which an identifier stands in int_changed_identity_records. `columns`: only those that the relation
has; further arguments give a column's name there where it is another.
#}
{% macro names_changed_identifier(columns=none) -%}
    (
        {%- for kind, column, home in record_identifiers() if columns is none or column in columns %}
        {%- if not loop.first %} or {% endif -%}
        ({{ identifier_type(kind, kwargs.get(home, home)) }}, {{ kwargs.get(column, column) }}) in (
            select changed.identifier_type, changed.identifier
            from {{ ref('int_changed_identity_records') }} as changed
        )
        {%- endfor %}
    )
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
