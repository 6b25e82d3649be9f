{{ config(enabled=provides('files', 'quarantined_records')) }}

{{ refused_records('files') }}
