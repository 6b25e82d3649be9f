{{ config(enabled=provides('salesforce', 'quarantined_records')) }}

{{ refused_records('salesforce') }}
