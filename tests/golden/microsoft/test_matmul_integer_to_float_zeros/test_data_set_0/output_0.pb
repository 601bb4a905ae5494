By0JPchÁÕ¡CÑ;C1tCB¼DìÿÁ«øB×*ÃÂžìÃ‚jCaiÃ‚àZCg54Câ­©ÃçGCõ|ÊÁ®` CÏa¢CØÔD¦æ
D