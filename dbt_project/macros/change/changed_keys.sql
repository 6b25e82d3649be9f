{#
What belongs here: the change set of an incremental union: which keys of an entity are new, changed or gone, against what
the union holds now. See docs/decisions.md for the rules of change.
#}

{#
An entity's rows of all systems; a text column of the key that a system lacks is '(not set)', never NULL. With
`in_reach_only` those that a daily run must compare: a literal on the slice reaches the raw table's own scan.
#}
{% macro canonical_rows(entity, in_reach_only=false) -%}
    {%- set key = var('canonical_entities')[entity]['key'] -%}
    {%- set kinds = var('canonical_entities')[entity]['columns'] -%}
    select
        {%- for name in canonical_names(entity, all_columns=true) %}
        {% if name in key and kinds.get(name) == 'text' %}coalesce(rows_of_all.{{ name }}, '(not set)') as {{ name }}{% else %}rows_of_all.{{ name }}{% endif %}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from (
        {{ union_canonical(entity) }}
    ) as rows_of_all
    {%- if in_reach_only %}
    where {{ in_reach(entity, 'rows_of_all') }}
    {%- endif %}
{%- endmacro %}

{#
Keys (source_relation, the entity's key, `carry`) of rows that differ. Rows are compared as wholes, load ids aside. Looked
at are: of systems whose slices are logged, the slices that were loaded since; of the others, all rows of every slice that
holds a row of the batch or whose number of rows differs (rows that vanished), and the batch's rows outside slices.
`carry`: further columns of old and new row that later change sets need.
#}
{% macro changed_keys(entity, carry=[]) -%}
    {%- set held = held_relation('int_' ~ entity ~ '_unioned') if not should_full_refresh() else none -%}
    {%- set columns = canonical_names(entity, all_columns=true) -%}
    {%- set key = ['source_relation'] + var('canonical_entities')[entity]['key'] -%}
    {%- set wanted = key + carry -%}
    {%- set compared = ['source_relation'] + canonical_names(entity) + ['_slice'] -%}
    {%- set mark = batch_mark() -%}
with staged as (
    {{ canonical_rows(entity, in_reach_only=held is not none) }}
),

held as (
    {%- if held is none %}
    {{ empty_canonical(entity) }}
    {%- else %}
    select {{ columns | join(', ') }} from {{ held }} as held_rows
    where {{ in_reach(entity, 'held_rows') }}
    {%- endif %}
),

staged_slices as (
    select
        source_relation,
        coalesce(_slice, '') as slice,
        count(*) as row_count,
        max(_load_id) as newest
    from staged
    group by source_relation, coalesce(_slice, '')
),

held_slices as (
    select
        source_relation,
        coalesce(_slice, '') as slice,
        count(*) as row_count
    from held
    group by source_relation, coalesce(_slice, '')
),

touched_slices as (
    select
        coalesce(staged_slices.source_relation, held_slices.source_relation) as source_relation,
        coalesce(staged_slices.slice, held_slices.slice) as slice,
        coalesce(staged_slices.row_count, 0) <> coalesce(held_slices.row_count, 0) as is_whole
    from staged_slices
    full outer join held_slices
        on
            staged_slices.source_relation = held_slices.source_relation
            and staged_slices.slice = held_slices.slice
    where
        {% if held is none %}1 = 0{% else %}coalesce(staged_slices.newest > '{{ mark }}', false)
        or coalesce(staged_slices.row_count, 0) <> coalesce(held_slices.row_count, 0){% endif %}
),

batch as (
    select {% for c in compared %}staged.{{ c }}{% if not loop.last %}, {% endif %}{% endfor %}
    from staged
    inner join touched_slices
        on
            staged.source_relation = touched_slices.source_relation
            and coalesce(staged._slice, '') = touched_slices.slice
    where touched_slices.slice <> '' or touched_slices.is_whole or staged._load_id > '{{ mark }}'
),

batch_keys as (
    select distinct {{ key | join(', ') }} from batch
),

before as (
    select {% for c in compared %}held.{{ c }}{% if not loop.last %}, {% endif %}{% endfor %}
    from held
    left join touched_slices
        on
            held.source_relation = touched_slices.source_relation
            and coalesce(held._slice, '') = touched_slices.slice
            and (touched_slices.slice <> '' or touched_slices.is_whole)
    left join batch_keys
        on {% for k in key %}held.{{ k }} = batch_keys.{{ k }}{% if not loop.last %} and {% endif %}{% endfor %}
    where touched_slices.slice is not null or batch_keys.source_relation is not null
),

arrived as (
    select * from batch
    except all
    select * from before
),

gone as (
    select * from before
    except all
    select * from batch
),

changes as (
    select {{ wanted | join(', ') }} from arrived
    union
    select {{ wanted | join(', ') }} from gone
),

final as (
    select {{ wanted | join(', ') }} from changes
    union
    {{ carried_over(wanted) }}
)

select
    {{ wanted | join(',\n    ') }},
    cast('{{ mark }}' as {{ text_type() }}) as batch_mark
from final
{%- endmacro %}

{# The select of an incremental union: everything, or the keys of its change set. #}
{% macro changed_rows(entity) -%}
    {%- set key = ['source_relation'] + var('canonical_entities')[entity]['key'] -%}
with staged as (
    {{ canonical_rows(entity, in_reach_only=is_rewrite()) }}
)

select
    {{ canonical_names(entity, all_columns=true) | join(',\n    ') }}
from staged
{%- if is_rewrite() %}
where exists (
    select 1
    from {{ ref('int_changed_' ~ entity) }} as changed
    where
        {% for k in key -%}
        changed.{{ k }} = staged.{{ k }}{% if not loop.last %} and {% endif %}
        {%- endfor %}
)
{%- endif %}
{%- endmacro %}

{# Rows of a candidate (a view with the fresh content) that differ from what a later model holds, on these columns. Where the
   candidate holds a part only, `held_part` is the macro (relation, columns) that selects the same part of the held rows. #}
{% macro differing_rows(candidate, held_model, columns, held_part=none) -%}
    {%- set held = held_relation(held_model) if not should_full_refresh() else none -%}
    {%- if held is none %}
    select {{ columns | join(', ') }} from {{ candidate }} where 1 = 0
    {%- else %}
    {%- set held_rows %}
        {%- if held_part is none %}select {{ columns | join(', ') }} from {{ held }}
        {%- else %}select {{ columns | join(', ') }} from ({{ held_part(held, columns) }}) as part
        {%- endif %}
    {%- endset %}
    (
        select {{ columns | join(', ') }} from {{ candidate }}
        except
        {{ held_rows }}
    )
    union
    (
        {{ held_rows }}
        except
        select {{ columns | join(', ') }} from {{ candidate }}
    )
    {%- endif %}
{%- endmacro %}
