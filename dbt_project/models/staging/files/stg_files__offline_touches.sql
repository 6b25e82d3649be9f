{{ config(enabled=provides('files', 'offline_touches')) }}

{{ filed_records('files', 'offline_touches') }}
