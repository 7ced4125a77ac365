# The Makefile of the apps that the tests deploy. Each run is noted on the node's own disk, with how
# many of the app's files do not name the release they belong to (it was half-written, then). What it
# starts lives on by itself. A target goes no further while a file NOTES/APP.hold-TARGET is there.
NOTES := /var/log/apps
define note
@version=$$(cat VERSION); foreign=$$(grep -rLxF "$$version" parts | wc -l); \
echo "$$(date +%s.%N) $@ $$version $$foreign $$APP_RELEASE" >> $(NOTES)/$$APP_NAME
@while [ -e $(NOTES)/$$APP_NAME.hold-$@ ]; do sleep 0.1; done
endef
end = [ ! -e $(NOTES)/$$APP_NAME.pid ] || kill $$(cat $(NOTES)/$$APP_NAME.pid) || true
begin = setsid sleep infinity < /dev/null > /dev/null 2>&1 & echo $$! > $(NOTES)/$$APP_NAME.pid

.PHONY: install start restart stop check
install:
	$(note)
start:
	$(note)
	@$(begin)
restart:
	$(note)
	@$(end); $(begin)
stop:
	$(note)
	@$(end); rm -f $(NOTES)/$$APP_NAME.pid
check:
	$(note)
	@kill -0 $$(cat $(NOTES)/$$APP_NAME.pid)
