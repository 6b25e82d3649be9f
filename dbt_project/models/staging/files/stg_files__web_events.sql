{{ config(enabled=provides('files', 'web_events')) }}

{{ filed_records('files', 'web_events') }}
