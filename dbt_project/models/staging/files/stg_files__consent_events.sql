{{ config(enabled=provides('files', 'consent_events')) }}

{{ filed_records('files', 'consent_events') }}
