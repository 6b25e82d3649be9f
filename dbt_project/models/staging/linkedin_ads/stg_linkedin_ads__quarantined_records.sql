{{ config(enabled=provides('linkedin_ads', 'quarantined_records')) }}

{{ refused_records('linkedin_ads') }}
