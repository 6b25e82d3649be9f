{{ union_canonical('ad_performance') }}
