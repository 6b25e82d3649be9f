{{ config(enabled=provides('posthog', 'quarantined_records')) }}

{{ refused_records('posthog') }}
