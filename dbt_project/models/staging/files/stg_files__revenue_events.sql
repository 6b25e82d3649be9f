{{ config(enabled=provides('files', 'revenue_events')) }}

{{ filed_records('files', 'revenue_events') }}
