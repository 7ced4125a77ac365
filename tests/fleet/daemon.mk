# The Makefile of an app with a daemon that notes how it is, twice a second: on its output, and in
# NOTES/APP.beats, a file that it opened once. Each line is
#   TIME PID WORD     here: its file in /tmp is there; lost: it is not; ended: by stop; TERM: by that
# so a daemon that was ended by force is one that notes no end. The runs are noted as by app.mk.
NOTES := /var/log/apps
base = $(NOTES)/$$APP_NAME
define note
@version=$$(cat VERSION); \
echo "$$(date +%s.%N) $@ $$version 0 $$APP_RELEASE" >> $(base)
@while [ -e $(base).hold-$@ ]; do sleep 0.1; done
endef
end = touch $(base).end && while kill -0 $$(cat $(base).pid) 2> /dev/null; do sleep 0.1; done
begin = rm -f $(base).end; setsid sh ./daemon < /dev/null & echo $$! > $(base).pid

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
	@$(end)
check:
	$(note)
	@kill -0 $$(cat $(base).pid)
