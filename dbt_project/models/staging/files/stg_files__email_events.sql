{{ config(enabled=provides('files', 'email_events')) }}

{{ filed_records('files', 'email_events') }}
