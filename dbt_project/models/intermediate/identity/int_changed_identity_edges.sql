{%- set columns = [
    'identifier_type_a', 'identifier_a', 'identifier_type_b', 'identifier_b', 'first_seen_at', 'is_used',
] -%}
-- depends_on: {{ ref('int_changed_identity_records') }}
with changed_edges as (
    {{ differing_rows(
        ref('int_identity_candidate_edges'), 'int_identity_edges', columns, held_part=held_edges_of_changed_records,
    ) }}
),

changes as (
    select identifier_type_a as identifier_type, identifier_a as identifier from changed_edges
    union
    select identifier_type_b as identifier_type, identifier_b as identifier from changed_edges
),

final as (
    select identifier_type, identifier from changes
    union
    {{ carried_over(['identifier_type', 'identifier']) }}
)

select
    identifier_type,
    identifier,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
