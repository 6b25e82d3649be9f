{{ config(enabled=provides('files', 'crm_opportunities')) }}

{{ filed_records('files', 'crm_opportunities') }}
