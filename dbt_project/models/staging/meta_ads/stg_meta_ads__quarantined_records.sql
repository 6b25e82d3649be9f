{{ config(enabled=provides('meta_ads', 'quarantined_records')) }}

{{ refused_records('meta_ads') }}
