{{ config(enabled=provides('klaviyo', 'quarantined_records')) }}

{{ refused_records('klaviyo') }}
