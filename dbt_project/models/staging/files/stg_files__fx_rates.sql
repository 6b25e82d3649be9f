{{ config(enabled=provides('files', 'fx_rates')) }}

{{ filed_records('files', 'fx_rates') }}
