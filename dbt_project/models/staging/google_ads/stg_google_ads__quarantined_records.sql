{{ config(enabled=provides('google_ads', 'quarantined_records')) }}

{{ refused_records('google_ads') }}
