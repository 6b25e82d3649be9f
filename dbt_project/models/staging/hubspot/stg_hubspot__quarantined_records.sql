{{ config(enabled=provides('hubspot', 'quarantined_records')) }}

{{ refused_records('hubspot') }}
