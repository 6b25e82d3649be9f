{{ config(enabled=provides('files', 'subscriptions')) }}

{{ filed_records('files', 'subscriptions') }}
