{{ config(enabled=provides('files', 'crm_accounts')) }}

{{ filed_records('files', 'crm_accounts') }}
