{{ config(enabled=provides('files', 'survey_responses')) }}

{{ filed_records('files', 'survey_responses') }}
