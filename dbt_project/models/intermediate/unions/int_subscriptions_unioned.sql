{{ union_canonical('subscriptions') }}
