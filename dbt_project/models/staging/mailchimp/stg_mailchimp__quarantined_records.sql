{{ config(enabled=provides('mailchimp', 'quarantined_records')) }}

{{ refused_records('mailchimp') }}
