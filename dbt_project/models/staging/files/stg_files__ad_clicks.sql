{{ config(enabled=provides('files', 'ad_clicks')) }}

{{ filed_records('files', 'ad_clicks') }}
