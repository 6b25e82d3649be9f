{{ union_canonical('ad_clicks') }}
