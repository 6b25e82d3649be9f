{{ config(enabled=provides('files', 'crm_opportunity_contacts')) }}

{{ filed_records('files', 'crm_opportunity_contacts') }}
