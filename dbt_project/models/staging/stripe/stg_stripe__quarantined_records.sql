{{ config(enabled=provides('stripe', 'quarantined_records')) }}

{{ refused_records('stripe') }}
