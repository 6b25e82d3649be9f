{{ config(enabled=provides('files', 'costs')) }}

{{ filed_records('files', 'costs') }}
