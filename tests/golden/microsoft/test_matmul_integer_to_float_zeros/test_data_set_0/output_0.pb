By0JPT¨
ÂÛ/[CÄî>C®SC…Déô¥ÁìBkÊìÁ…ºZÃJø$C¸ÂÐõC#CñáÂb‚C	ÂØJQCƒÔzCÀC	:D