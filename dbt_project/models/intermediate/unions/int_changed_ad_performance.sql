{{ changed_keys('ad_performance', carry=[]) }}
