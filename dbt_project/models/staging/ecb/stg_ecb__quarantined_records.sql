{{ config(enabled=provides('ecb', 'quarantined_records')) }}

{{ refused_records('ecb') }}
