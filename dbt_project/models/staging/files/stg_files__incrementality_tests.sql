{{ config(enabled=provides('files', 'incrementality_tests')) }}

{{ filed_records('files', 'incrementality_tests') }}
