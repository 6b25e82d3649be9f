{{ config(enabled=provides('files', 'incrementality_tests')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, test_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'incrementality_tests') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('incrementality_tests', 'final', provided=[
    'test_id',
    'channel',
    'date_from',
    'date_to',
    'method',
    'incremental_conversions',
    'ci_low',
    'ci_high',
]) }}
