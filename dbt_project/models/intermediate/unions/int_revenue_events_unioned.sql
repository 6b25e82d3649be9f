{{ union_canonical('revenue_events') }}
