{{ config(enabled=provides('files', 'fx_rates')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, date, currency_from, currency_to
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'fx_rates') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('fx_rates', 'final', provided=[
    'date',
    'currency_from',
    'currency_to',
    'rate',
]) }}
