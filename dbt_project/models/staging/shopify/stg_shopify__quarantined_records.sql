{{ config(enabled=provides('shopify', 'quarantined_records')) }}

{{ refused_records('shopify') }}
