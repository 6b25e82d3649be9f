{{ config(enabled=provides('ecb', 'fx_rates')) }}

with rates as (
    select * from {{ source('raw_ecb', 'rates') }}
)

{{ conform('fx_rates', 'rates', provided={
    'date': 'date',
    'currency_from': "'EUR'",
    'currency_to': 'currency',
    'rate': 'rate',
}) }}
