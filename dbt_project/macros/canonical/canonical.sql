{#
What belongs here: everything that is generated from `canonical_entities` in dbt_project.yml (the one
definition of the canonical columns): which systems provide an entity, its columns and types, the conforming
select of a staging model, the union of all systems, and the empty table where none is connected.
#}

{# True where the connected system provides this canonical entity. Staging models enable themselves with it. #}
{% macro provides(system, entity) %}
    {% for entry in var('systems', []) %}
        {% if entry['system'] == system and entity in entry.get('entities', []) %}{{ return(true) }}{% endif %}
    {% endfor %}
    {{ return(false) }}
{% endmacro %}

{# SQL type of a canonical type name. #}
{% macro canonical_type(name) %}
    {% set types = {
        'text': text_type(), 'json': text_type(), 'bigint': 'bigint', 'double': 'double', 'boolean': 'boolean',
        'date': 'date', 'timestamp': 'timestamp', 'money': 'decimal(19,4)', 'rate': 'decimal(18,8)',
    } %}
    {% if name not in types %}
        {{ exceptions.raise_compiler_error("canonical_entities: unknown column type '" ~ name ~ "'") }}
    {% endif %}
    {{ return(types[name]) }}
{% endmacro %}

{#
The columns of an entity as they stand in the warehouse: a list of {name, type, canonical}. A column of type email
becomes <name>_hash and, once per entity, email_domain (any further e-mail column: <name>_domain).
#}
{% macro canonical_columns(entity) %}
    {% set entities = var('canonical_entities') %}
    {% if entity not in entities %}
        {{ exceptions.raise_compiler_error("canonical_entities has no entity '" ~ entity ~ "'") }}
    {% endif %}
    {% set found = [] %}
    {% set domains = [] %}
    {% for name, kind in entities[entity]['columns'].items() %}
        {% if kind == 'email' %}
            {% do found.append({'name': name ~ '_hash', 'type': text_type(), 'canonical': name}) %}
            {% set domain = 'email_domain' if domains | length == 0 else name ~ '_domain' %}
            {% do domains.append(domain) %}
            {% do found.append({'name': domain, 'type': text_type(), 'canonical': name}) %}
        {% elif kind == 'phone' %}
            {% do found.append({'name': name ~ '_hash', 'type': text_type(), 'canonical': name}) %}
        {% else %}
            {% do found.append({'name': name, 'type': canonical_type(kind), 'canonical': name}) %}
        {% endif %}
    {% endfor %}
    {{ return(found) }}
{% endmacro %}

{# Names of an entity's columns as a list; `all_columns` adds source_relation, _slice and _load_id. #}
{% macro canonical_names(entity, all_columns=false) %}
    {% set names = canonical_columns(entity) | map(attribute='name') | list %}
    {{ return((['source_relation'] + names + ['_slice', '_load_id']) if all_columns else names) }}
{% endmacro %}

{#
The select of a staging model: `from_cte` holds source_relation, _slice, _dlt_load_id and the provided columns.
`provided` is a list of canonical names that the relation holds under their own names, or a mapping from canonical
name to SQL expression. What is not provided becomes a typed NULL; an unknown or a missing required name is an error.
#}
{% macro conform(entity, from_cte, provided) -%}
    {%- set expressions = {} -%}
    {%- if provided is mapping -%}
        {%- do expressions.update(provided) -%}
    {%- else -%}
        {%- for name in provided -%}{%- do expressions.update({name: name}) -%}{%- endfor -%}
    {%- endif -%}
    {%- set known = canonical_names(entity) -%}
    {%- for name in expressions -%}
        {%- if name not in known -%}
            {{ exceptions.raise_compiler_error("conform(" ~ entity ~ "): '" ~ name ~ "' is no canonical column") }}
        {%- endif -%}
    {%- endfor -%}
    {%- for column in canonical_columns(entity) -%}
        {%- if column.canonical in var('canonical_entities')[entity].get('required', [])
                and column.name not in expressions and not column.name.endswith('_domain') -%}
            {{ exceptions.raise_compiler_error("conform(" ~ entity ~ "): '" ~ column.name ~ "' is required") }}
        {%- endif -%}
    {%- endfor -%}
    select
        cast(source_relation as {{ text_type() }}) as source_relation,
        {%- for column in canonical_columns(entity) %}
        cast({{ expressions.get(column.name, 'null') }} as {{ column.type }}) as {{ column.name }},
        {%- endfor %}
        cast(_slice as {{ text_type() }}) as _slice,
        cast(_dlt_load_id as {{ text_type() }}) as _load_id
    from {{ from_cte }}
{%- endmacro %}

{# A select of no rows with the entity's columns and types. #}
{% macro empty_canonical(entity) -%}
    select
        cast(null as {{ text_type() }}) as source_relation,
        {%- for column in canonical_columns(entity) %}
        cast(null as {{ column.type }}) as {{ column.name }},
        {%- endfor %}
        cast(null as {{ text_type() }}) as _slice,
        cast(null as {{ text_type() }}) as _load_id
    from (select 1 as one) as nothing
    where 1 = 0
{%- endmacro %}

{# The staging relations that provide an entity, once per system. #}
{% macro providers(entity) %}
    {% set relations = [] %}
    {% set seen = [] %}
    {% for entry in var('systems', []) %}
        {% if entity in entry.get('entities', []) and entry['system'] not in seen %}
            {% do seen.append(entry['system']) %}
            {% do relations.append(ref('stg_' ~ entry['system'] ~ '__' ~ entity)) %}
        {% endif %}
    {% endfor %}
    {{ return(relations) }}
{% endmacro %}

{# All systems' rows of an entity under a typed empty select. `where` filters each branch. #}
{% macro union_canonical(entity, where=none) -%}
    {{ empty_canonical(entity) }}
    {%- for relation in providers(entity) %}
    union all
    select
        {{ canonical_names(entity, all_columns=true) | join(',\n        ') }}
    from {{ relation }}
    {%- if where %}
    where {{ where }}
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
