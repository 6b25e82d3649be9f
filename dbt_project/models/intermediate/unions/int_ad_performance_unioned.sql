{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{
        'changes': 'int_changed_ad_performance',
        'keys': [
            'source_relation', 'date', 'account_id', 'campaign_id', 'ad_group_id', 'ad_id', 'network_type', 'country',
            'device',
        ],
    }]},
) }}
-- depends_on: {{ ref('int_changed_ad_performance') }}
{{ changed_rows('ad_performance') }}
