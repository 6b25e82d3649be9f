-- depends_on: {{ ref('int_changed_persons') }}, {{ ref('int_person_accounts') }}
{# The conversions whose path must be written anew: new or different from what int_conversion_touches holds,
   gone from fct_conversions, or touched by a changed person. A person's old account is found by the rows that
   hold a touch of the person (touch_person_id), the new one by membership. #}
{%- set held = held_relation('int_conversion_touches') if not should_full_refresh() else none %}
with
windows as (
    select
        conversion_id,
        touch_scope,
        scope_id,
        window_hash
    from {{ ref('int_conversion_windows') }}
),

{%- if held is not none %}

held_rows as (
    select
        conversion_id,
        touch_person_id,
        window_hash
    from {{ held }}
),

held_conversions as (
    select
        conversion_id,
        max(window_hash) as window_hash
    from held_rows
    group by conversion_id
),

different as (
    select coalesce(windows.conversion_id, held_conversions.conversion_id) as conversion_id
    from windows
    full outer join held_conversions
        on windows.conversion_id = held_conversions.conversion_id
    where
        windows.conversion_id is null
        or held_conversions.conversion_id is null
        or windows.window_hash != held_conversions.window_hash
),

of_changed_persons as (
    select held_rows.conversion_id
    from held_rows
    inner join {{ ref('int_changed_persons') }} as changed
        on held_rows.touch_person_id = changed.person_id
    union all
    select windows.conversion_id
    from windows
    inner join {{ ref('int_changed_persons') }} as changed
        on windows.touch_scope = 'person' and windows.scope_id = changed.person_id
    union all
    select windows.conversion_id
    from windows
    inner join {{ ref('int_person_accounts') }} as members
        on windows.touch_scope = 'account' and windows.scope_id = members.account_id
    inner join {{ ref('int_changed_persons') }} as changed
        on members.person_id = changed.person_id
),

changes as (
    select conversion_id from different
    union
    select conversion_id from of_changed_persons
),

final as (
    select conversion_id from changes
    union
    {{ carried_over(['conversion_id']) }}
)
{%- else %}

final as (
    select conversion_id from windows
)
{%- endif %}

select
    conversion_id,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
