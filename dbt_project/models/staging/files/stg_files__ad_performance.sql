{{ config(enabled=provides('files', 'ad_performance')) }}

{{ filed_records('files', 'ad_performance') }}
