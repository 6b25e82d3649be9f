{{ config(enabled=provides('ga4', 'quarantined_records')) }}

{{ refused_records('ga4') }}
